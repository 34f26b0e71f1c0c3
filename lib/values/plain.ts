// Texts that anybody may have given, as they can be shown: on one line, and without what a terminal or a page obeys.

// Control characters move the cursor, set the window's title or make the terminal answer as if somebody typed; format
// characters reverse or hide text. Only the two joiners stay, because emoji and some scripts are written with them.
const unsafe = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A stored or given text on one line, with the characters that are obeyed instead of shown as escapes. */
export function plain(text: string): string {
  return text.replace(unsafe, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
