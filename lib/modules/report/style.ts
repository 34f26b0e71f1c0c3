// How the page looks: on a screen by day and by night, and on paper.

// Each colour of a bar has 4.5 : 1 to what lies behind it, so that a letter on it, which has that colour, can be read.
const day = `
--back:#fff;--soft:#f3f5f7;--ink:#1b2026;--quiet:#56606b;--line:#d5dae0;--track:#eef1f4;--link:#1f5fa8;
--c0:#1f5fa8;--c1:#b0480f;--c2:#1b7444;--c3:#7446a3;--c4:#b02a56;--c5:#0e6f7a;--c6:#6f6500;--c7:#5d4037;
--others:#666d75;--on:#fff;--before:#858d97;--use:#1f5fa8;--over:#b3261e;--mark:#1b2026;
--h1:#4a80bd;--h2:#336fb3;--h3:#1f5fa8;--h4:#123f73;--ok:#1b6b3c;--bad:#a32018;`;
const night = `
--back:#14181c;--soft:#1e242a;--ink:#e6e9ec;--quiet:#a5aeb8;--line:#39424b;--track:#20272e;--link:#8ab8f0;
--c0:#7db0ee;--c1:#f0a062;--c2:#6ecb95;--c3:#c3a3ee;--c4:#f08cab;--c5:#5cc6d0;--c6:#d3c25c;--c7:#c9a993;
--others:#a7afb7;--on:#14181c;--before:#75808b;--use:#7db0ee;--over:#ff8f85;--mark:#fff;
--h1:#5480b3;--h2:#6a9bd6;--h3:#8fbcf2;--h4:#c9e0fb;--ok:#7fd6a2;--bad:#ff9d94;`;

/** The style sheet. It fetches nothing: no font, no picture. */
export const style: string = `
:root{color-scheme:light dark;${day}}
@media screen and (prefers-color-scheme:dark){:root{${night}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;padding:20px 16px 40px;max-width:1160px;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}
h2{font-size:19px;line-height:1.3;margin:0 0 10px;break-after:avoid}
p{margin:0 0 10px}
header p{color:var(--quiet);margin:0}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;margin:14px 0 0;padding:0}
nav a{display:inline-block;padding:4px 0;color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
section{border-top:1px solid var(--line);margin-top:26px;padding-top:20px}
.quiet{color:var(--quiet);font-weight:400}
.ok{color:var(--ok)}
.bad{color:var(--bad)}
div.bad,p.bad{border-left:4px solid var(--bad);padding-left:10px}
code{font:13px/1.5 ui-monospace,monospace}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:0}
.cards div{background:var(--soft);border-radius:8px;padding:12px 14px}
.cards dt{color:var(--quiet)}
.cards dd{margin:0}
.cards strong{display:block;font-size:21px;line-height:1.3;font-weight:600}
.cards span{color:var(--quiet);font-size:13px}
.legend{list-style:none;display:flex;flex-wrap:wrap;align-items:center;gap:4px 18px;margin:0 0 12px;padding:0;
font-size:14px}
.legend li{max-width:100%}
.key{width:18px;height:18px;vertical-align:-4px;margin-right:3px}
.tall{height:24px}
figure{margin:0}
figcaption{font-weight:600;margin:0 0 4px}
.picture{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.months{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:22px 34px}
.block{min-width:0;break-inside:avoid}
.block p{font-weight:600;margin:0}
svg{overflow:visible}
svg text{font:11px system-ui,sans-serif;fill:var(--ink)}
.bars,.heat{display:block;width:calc(100% - 130px);margin:0 50px 0 80px}
.bars.thin{width:calc(100% - 68px);margin:0 44px 0 24px}
.bars.quota{width:calc(100% - 114px);margin:0 64px 0 50px}
.heat{width:calc(100% - 50px);margin:0 10px 0 40px}
.bars rect{height:13px}
.thin rect{height:11px}
.quota rect{y:3px;height:8px}
rect.w{y:14px;height:5px;fill:var(--before)}
svg.key rect.w{y:6px}
rect.s{width:1px;fill:var(--back)}
rect.t{height:24px;fill:var(--track)}
.heat rect{width:3.8%}
.heat rect.t{width:100%}
svg .d{text-anchor:end}
svg .a{text-anchor:middle;fill:var(--quiet)}
svg .n{fill:var(--quiet);font-style:italic}
svg .k{text-anchor:middle;fill:var(--on);font-weight:600}
line.g{stroke:var(--line)}
line.z{stroke:var(--quiet)}
line.q{stroke:var(--mark);stroke-width:2}
.h{stroke:var(--back);stroke-width:1.5}
rect.u{fill:var(--use)}
rect.o{fill:var(--over)}
${[0, 1, 2, 3, 4, 5, 6, 7].map((colour) => `.c${colour}{fill:var(--c${colour})}`).join('')}
.others{fill:var(--others)}
${[1, 2, 3, 4].map((step) => `.h${step}{fill:var(--h${step})}`).join('')}
svg .wide{display:none}
details{margin-top:12px}
summary{cursor:pointer;color:var(--link);padding:4px 0;width:fit-content}
.tables{display:flex;flex-wrap:wrap;align-items:flex-start;gap:22px 28px;margin-top:8px}
table{border-collapse:collapse;font-size:13px;line-height:1.35;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:0 0 4px}
th,td{text-align:left;vertical-align:top;padding:3px 8px 3px 0;border-bottom:1px solid var(--line);font-weight:400}
th:last-child,td:last-child{padding-right:0}
thead th{font-weight:600;vertical-align:bottom}
.figures{table-layout:fixed;flex:0 1 328px;width:328px;max-width:100%;font-size:12px}
.figures caption{font-size:13px}
.figures th,.figures td{padding-right:6px}
.figures td,.figures thead th+th{text-align:right}
.figures th:first-child{width:24%}
.totals th:first-child{width:66%}
.hours th:first-child{width:14%}
.hours th,.hours td{padding-right:4px}
.list{width:100%}
.list .day th{font-weight:600;padding-top:14px}
.list.when{table-layout:fixed}
.when th:first-child{width:26%}
.sessions{table-layout:fixed}
.sessions th:nth-child(1){width:14%}
.sessions th:nth-child(2){width:15%}
.sessions th:nth-child(3){width:20%}
.sessions th:nth-child(4){width:24%}
.facts{margin:0}
.facts div{padding:6px 0;border-bottom:1px solid var(--line)}
.facts dt{color:var(--quiet)}
.facts dd{margin:0}
.facts ul{margin:6px 0 0;padding-left:20px}
@media (min-width:640px){svg .wide{display:inline}.facts div{display:grid;grid-template-columns:140px 1fr;gap:12px}
.list{font-size:14px}.list th,.list td{padding-right:16px}.when th:first-child{width:180px}}
@page{size:A4;margin:14mm}
@media print{:root{color-scheme:light}
body{padding:0;max-width:none;font-size:12px}
h1{font-size:22px}
nav{display:none}
section{margin-top:14px;padding-top:12px}
.cards div{padding:8px 10px}
.cards strong{font-size:17px}
.legend{font-size:12px;margin-bottom:8px;break-after:avoid}
.picture,tr,.cards div,.facts div,.legend,.sessions tbody{break-inside:avoid}
.picture{zoom:.8}
.picture.months{break-inside:auto}
.months{grid-template-columns:repeat(3,1fr);gap:14px 18px}
.bars:not(.thin,.quota) text{font-size:13px}
.day,caption{break-after:avoid}
thead{display:table-header-group;break-after:avoid}
summary{display:none}
details::details-content{content-visibility:visible;display:block;block-size:auto}
}
`;
