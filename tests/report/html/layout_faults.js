/**
 * What a designer would mark on a page, found in the page itself: run by Playwright in Chromium, so it stands alone and is
 * plain JavaScript. Looks at whatever is laid out now, at the window's width; leaves out what nobody sees.
 *
 * @returns {string[]} one line for each fault
 */
export function layoutFaults() {
  const faults = [];
  const TOLERANCE = 1;
  const called = (element) =>
    `<${element.localName} class="${element.getAttribute("class") ?? ""}">${
      element.textContent.trim().slice(0, 50)
    }`;
  const isShown = (element) => element.checkVisibility() && element.getClientRects().length > 0;
  const shown = [...document.body.querySelectorAll(":not(.skip, svg *, wbr, br)")].filter(isShown);

  // Nothing is wider than what it stands in; what a table scrolls over is let through.
  for (const element of shown) {
    let box = element.parentElement;
    while (getComputedStyle(box).display === "inline") box = box.parentElement;
    if (box.classList.contains("scroll")) continue;
    const style = getComputedStyle(box);
    const right = box.getBoundingClientRect().right - parseFloat(style.paddingRight) -
      parseFloat(style.borderRightWidth);
    const beyond = element.getBoundingClientRect().right - right;
    // Borders of a table that are collapsed have half of their width outside.
    if (beyond > TOLERANCE) faults.push(`${beyond.toFixed(0)} px too wide: ${called(element)}`);
  }

  // On a desk no table has to be scrolled.
  for (const box of document.querySelectorAll(".scroll")) {
    if (innerWidth >= 1024 && box.scrollWidth > box.clientWidth + TOLERANCE) {
      faults.push(`scrolls at ${innerWidth} px: ${box.getAttribute("aria-label")}`);
    }
  }

  const textsIn = function* (root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (isShown(walker.currentNode.parentElement)) yield walker.currentNode;
  };

  // A name breaks where a <wbr> parts its texts, and nowhere else.
  for (const element of document.querySelectorAll(".name")) {
    for (const text of textsIn(element)) {
      const range = document.createRange();
      range.selectNodeContents(text);
      const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
      if (lines.size > 1) faults.push(`broken within "${text.data}" of ${called(element)}`);
    }
  }

  // Names of layers have one typeface.
  for (const cell of document.querySelectorAll("td, th, p, li")) {
    for (const text of textsIn(cell)) {
      if (/\b(blocks|layers)\.\d/.test(text.data) && text.parentElement.closest(".name") === null) {
        faults.push(`a name in the text's typeface: ${text.data.slice(0, 60)}`);
      }
    }
  }

  // The first lines of a row's cells have one baseline: an empty inline block stands on it.
  for (const row of document.querySelectorAll("tbody tr")) {
    if (!isShown(row)) continue;
    const baselines = [...row.cells].filter(({ textContent }) => textContent.trim() !== "").map((cell) => {
      const own = [...textsIn(cell)].find(({ data }) => data.trim() !== "");
      const probe = document.createElement("span");
      probe.style.display = "inline-block";
      // A pill is a box of its own, whose baseline the line has.
      const first = own.parentElement.closest(".badge") ?? own;
      first.before(probe);
      const { bottom } = probe.getBoundingClientRect();
      probe.remove();
      return bottom;
    });
    const apart = Math.max(...baselines) - Math.min(...baselines);
    if (apart > TOLERANCE) faults.push(`baselines ${apart.toFixed(1)} px apart: ${called(row)}`);
  }

  // Texts of drawings lie within them, and none on another.
  for (const svg of document.querySelectorAll("figure > svg")) {
    if (!isShown(svg)) continue;
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((text) => ({
      said: text.textContent,
      box: text.getBoundingClientRect(),
    }));
    texts.forEach(({ said, box }, i) => {
      if (box.right > frame.right + TOLERANCE || box.left < frame.left - TOLERANCE) {
        faults.push(`"${said}" leaves its drawing`);
      }
      for (const other of texts.slice(i + 1)) {
        const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        if (across > TOLERANCE && down > 0.3 * box.height) {
          faults.push(`"${said}" lies on "${other.said}"`);
        }
      }
    });
  }
  return [...new Set(faults)];
}
