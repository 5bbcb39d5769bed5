/**
 * A page in one file: no script, no request, nothing beside it. Sections with headings and a table of
 * contents, a skip link, a language. What is in the sections is the caller's, made with `html` and
 * `parts.ts`.
 */
import { type Content, Html, html } from "./markup.ts";
import { STYLE } from "./style.ts";

export interface Section {
  /** Of the page's address, `#latency`: letters, digits, hyphens; once in a page. */
  readonly id: string;
  readonly title: string;
  readonly body: Content;
  /** Parts of it, with smaller headings. */
  readonly parts?: readonly Section[];
}

export interface Page {
  readonly title: string;
  /** What it is about, in a sentence or two under the title. */
  readonly lead?: Content;
  /** When, by what and from what it was made. */
  readonly made?: Content;
  readonly sections: readonly Section[];
  readonly footer?: Content;
}

/** Nothing is loaded, whatever a file's name or a text should contain. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** The whole document. */
export function page({ title, lead, made, sections, footer }: Page): string {
  return String(html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy" content="${POLICY}">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="generator" content="UNfold">
        <title>${title}</title>
        <link rel="icon" href="data:,">
        <style>${new Html(STYLE)}</style>
      </head>
      <body>
    <a class="skip" href="#main">Skip to the content</a>
    <header>
    <h1>${title}</h1>
    ${lead === undefined ? null : html`<p class="lead">${lead}</p>`}
    ${made === undefined ? null : html`<p class="made">${made}</p>`}
    ${sections.length < 2 ? null : contents(sections)}
    </header>
    <main id="main" tabindex="-1">
    ${sections.map((section) => sectionAt(section, 2))}
    </main>
    ${footer === undefined ? null : html`<footer>${footer}</footer>`}
      </body>
    </html>
  `);
}

function contents(sections: readonly Section[]): Html {
  const items = sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`);
  return html`
    <nav aria-label="Contents">
      <ul>${items}</ul>
    </nav>
  `;
}

function sectionAt({ id, title, body, parts = [] }: Section, level: 2 | 3): Html {
  const heading = level === 2
    ? html`<h2 id="${id}-title">${title}</h2>`
    : html`<h3 id="${id}-title">${title}</h3>`;
  return html`
    <section id="${id}" ${level === 2
      ? html`
        aria-labelledby="${id}-title"
      `
      : null}>
    ${heading}
    ${body}
    ${parts.map((part) => sectionAt(part, 3))}
    </section>
  `;
}
