/**
 * The look of every page: system fonts, light and dark by the reader's preference, one column that a phone
 * can show, and paper. Colours are variables, which the plots use too; those that distinguish are Okabe and
 * Ito's, for colour-blind readers, and never the only difference.
 */

/** Below this width, in CSS pixels, the narrow drawings are shown. */
const NARROW_BELOW = 700;

/** Contenders and kernels by colour; what is drawn in a colour has a symbol, a letter or a label besides. */
const LIGHT = `
  --back: #ffffff; --panel: #f5f7f9; --ink: #1a1f26; --muted: #55606c; --line: #d5dbe1; --grid: #e6eaee;
  --link: #0a5fa5; --good: #0b6b4f; --good-back: #e3f4ee; --bad: #a33a00; --bad-back: #fdeee4;
  --even: #4a5663; --even-back: #eceff2;
  --series-0: #0a6ab5; --series-1: #c25700; --series-2: #00805f; --series-3: #a8477f; --series-4: #5b6673;
  --series-5: #8a6a00; --band: #8794a21f; --interval: #0a6ab533;`;
const DARK = `
  --back: #10151b; --panel: #181f27; --ink: #e8ecf0; --muted: #a3afbb; --line: #323c47; --grid: #252d36;
  --link: #7dc0ff; --good: #6fd6b3; --good-back: #123328; --bad: #ffae7a; --bad-back: #3a2213;
  --even: #b9c3cd; --even-back: #252d36;
  --series-0: #62b3f5; --series-1: #f5a15a; --series-2: #45c9a2; --series-3: #e594c3; --series-4: #a7b2bd;
  --series-5: #e0c050; --band: #a3afbb26; --interval: #62b3f54d;`;

export const STYLE = `
/* What may break is marked where it may: behind a dot of a name, not amid a word. */
:root { color-scheme: light dark;${LIGHT}
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  --kind-product: #7cc4f0; --kind-fused: #0a6ab5; --kind-attention: #007a5c; --kind-norm: #c84e00;
  --kind-convolution: #dc9dc0; --kind-other: #c5ccd4; --on-pale: #14191f; --on-deep: #ffffff;
}
@media screen and (prefers-color-scheme: dark) { :root {${DARK} } }
*, ::before, ::after { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0 auto; max-width: 56rem; padding: 0 1rem 3rem; background: var(--back); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  overflow-wrap: break-word;
}
a { color: var(--link); text-underline-offset: 0.15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 2px; }
main:focus { outline: none; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 0.5rem; background: var(--back); padding: 0.5rem 1rem; z-index: 1; }
header { padding: 2.5rem 0 0; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; letter-spacing: -0.01em; }
h1 { font-size: 2rem; margin: 0; }
h2 { font-size: 1.4rem; margin: 3.25rem 0 0.75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2.25rem 0 0.5rem; }
p { margin: 0.5rem 0 1rem; max-width: 44rem; }
.lead { font-size: 1.05rem; margin: 0.5rem 0 0; }
.made { color: var(--muted); font-size: 0.875rem; margin: 0.35rem 0 0; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; list-style: none; margin: 1.25rem 0 0; padding: 0; }
nav li { min-width: 0; overflow-wrap: anywhere; }
nav a { display: inline-block; padding: 0.15rem 0; }
code, .name { font-family: var(--mono); font-size: 0.875em; font-weight: 400; }
.name { white-space: nowrap; }
.name.long { white-space: normal; }
th.breaks, td.breaks { min-width: 7.5rem; }
.small { font-size: 0.875rem; }
.muted, figcaption, caption, .note { color: var(--muted); }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.25rem, 1fr)); gap: 0.75rem; margin: 1.5rem 0; }
.tiles > div { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem 1rem; }
.tiles dt { color: var(--muted); font-size: 0.875rem; }
.tiles dd, .tiles .badge { margin: 0; white-space: normal; }
.tiles .figure { font-size: 1.6rem; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles .figure.quiet { font-size: 1.0625rem; font-weight: 500; line-height: 1.35; padding: 0.35rem 0 0.2rem; color: var(--even); }
.tiles .detail { color: var(--muted); font-size: 0.875rem; }

/* Of inline boxes, this one has its first line as its baseline. */
.badge { display: inline-flex; border-radius: 1em; padding: 0.05em 0.7em; font-size: 0.875em; font-weight: 600;
  white-space: nowrap; }
.badge.good { color: var(--good); background: var(--good-back); }
.badge.bad { color: var(--bad); background: var(--bad-back); }
.badge.even { color: var(--even); background: var(--even-back); }
.note { border-left: 3px solid var(--line); padding: 0.1rem 0 0.1rem 0.9rem; margin: 1rem 0; }
.note.warn { border-color: var(--bad); }
.note p, .note ul { margin: 0.2rem 0; }
.note ul { padding-left: 1.1rem; }

.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-size: 0.9375rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 0.4rem; font-size: 0.875rem; }
th, td { text-align: left; vertical-align: baseline; padding: 0.4rem 0.9rem 0.4rem 0; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--muted); font-weight: 600; font-size: 0.875rem; border-bottom-color: var(--muted);
  vertical-align: bottom; }
tbody th { font-weight: 500; }
.right { text-align: right; }
td.right { white-space: nowrap; }

figure { margin: 1.5rem 0; }
figcaption { font-size: 0.875rem; margin-top: 0.35rem; max-width: 44rem; }
.figure-title { margin: 0 0 0.35rem; font-weight: 650; }
svg { display: block; max-width: 100%; height: auto; overflow: hidden; font-family: inherit; }
svg text { white-space: pre; }
.narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; list-style: none; margin: 0.35rem 0 0.6rem; padding: 0;
  font-size: 0.875rem; }
.legend li { display: inline-flex; align-items: center; gap: 0.45rem; }
.legend svg { flex: none; overflow: visible; }

details { margin: 1rem 0; border: 1px solid var(--line); border-radius: 8px; padding: 0 1rem; }
details[open] { padding-bottom: 0.5rem; }
summary { cursor: pointer; padding: 0.6rem 0; font-weight: 500; }
.words dt { font-weight: 600; margin-top: 1rem; }
.words dd { margin: 0.15rem 0 0; max-width: 44rem; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--muted);
  font-size: 0.875rem; }

@media screen and (max-width: ${NARROW_BELOW - 1}px) {
  .wide { display: none; }
  .narrow { display: block; }
  header { padding-top: 1.5rem; }
  h1 { font-size: 1.6rem; }
  h2 { margin-top: 2.5rem; font-size: 1.25rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 0.5rem; }
  .tiles > div { padding: 0.6rem 0.75rem; }
  .tiles > :nth-child(odd):last-child { grid-column: 1 / -1; }
  .tiles .figure { font-size: 1.3rem; }
  table { font-size: 0.875rem; }
  details { padding: 0 0.6rem; }
  th, td { padding-right: 0.6rem; }
  td .badge { white-space: normal; border-radius: 0.7em; width: max-content; max-width: 6.8rem; }
}
@media print {
  @page { margin: 16mm 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .skip { display: none; }
  header { padding: 0; }
  h2 { margin-top: 1.75rem; }
  h2, h3, caption, summary { break-after: avoid; }
  figure, table, .tiles > div, tr, .note, .words > div { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; }
  .badge, .tiles > div, svg * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details { border: 0; padding: 0; }
  /* What the reader has opened is printed, lists that are shut are not. */
  details:not([open]), details summary { display: none; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); }
  .tiles .figure { font-size: 1.25rem; }
  .tiles .figure.quiet { font-size: 0.9375rem; }
  .tiles dt, .tiles .detail { font-size: 0.75rem; }
  .tiles > div { padding: 0.5rem 0.7rem; }
  th, td { padding-top: 0.25rem; padding-bottom: 0.25rem; }
  a { color: inherit; text-decoration: none; }
}
`;
