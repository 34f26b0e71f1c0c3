// Texts that somebody may have given as an entry's id, a label or a reason, so that whatever shows them misbehaves.

/** Each is a text that a store takes. */
export const hostileTexts: readonly string[] = [
  '<script>alert(1)</script>', '</style><script>alert(1)</script>', '</title><svg onload=alert(1)>', '<!--', '-->',
  ']]>', '"onmouseover="alert(1)', "'onmouseover='alert(1)", '&amp;&lt;', '{{7*7}}', '\\"\\n\\\\',
  'javascript:alert(1)', '%s%n$(id)`id`', "'; DROP TABLE usage; --",
  '=1+1', '+1+1', '-1+1', '@SUM(A1)', '=HYPERLINK("http://example.org";"x")', '\t=1+1', '\r=1+1', '\n=1+1', ' =1+1',
  '＝1+1', 'a,b', 'a;b', 'a"b', 'a\nb', 'a\r\nb', 'a\u0000b',
  '\u001b[2J\u001b]0;title\u0007', '\u009b31m', '\u0007', '\u202egnp.exe', '\u2066abc', '\u200babc', '\ufeffabc',
  '\u2028abc', '👩‍👩‍👧‍👦', 'نص عربي', 'é',
  'x'.repeat(10_000), '漢'.repeat(10_000), 'a b '.repeat(2_500),
];
