"use strict";

// Light or dark: as the system is set, until the button is pressed.
const root = document.documentElement;
const theme = document.getElementById("theme");
const dark = () => getComputedStyle(root).colorScheme === "dark" ||
  (getComputedStyle(root).colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
const nameTheme = () => { theme.textContent = dark() ? "Light" : "Dark"; };
theme.hidden = false;
theme.addEventListener("click", () => { root.style.colorScheme = dark() ? "light" : "dark"; nameTheme(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
nameTheme();

// Tables sort by their cells' data-value; a second click reverses the order.
const value = (row, column) => row.cells[column].dataset.value;
const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
for (const button of document.querySelectorAll("button.sort")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const other = { ascending: "descending", descending: "ascending" };
    const order = heading.ariaSort ? other[heading.ariaSort] : button.dataset.first;
    for (const each of heading.parentElement.cells) each.ariaSort = null;
    heading.ariaSort = order;
    const sign = order === "ascending" ? 1 : -1;
    const body = heading.closest("table").tBodies[0];
    const rows = [...body.rows];
    rows.sort((a, b) => sign * compare(value(a, heading.cellIndex), value(b, heading.cellIndex)));
    body.append(...rows);
  });
}

// What a link or the address leads to unfolds, with all around it.
const unfold = () => {
  const target = document.querySelector(":target");
  for (let at = target; (at = at?.closest("details")); at = at.parentElement) at.open = true;
  target?.scrollIntoView();
};
addEventListener("load", unfold);
addEventListener("hashchange", unfold);
addEventListener("click", (event) => { if (event.target.closest("a[href^='#']")) setTimeout(unfold); });

// The contents mark the part that is read: the innermost one a fifth of the window down.
const contents = document.getElementById("contents");
if (contents) {
  const part = (link) => document.getElementById(decodeURIComponent(link.hash.slice(1)));
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [part(link), link]));
  const seen = new Set();
  const centre = () => {
    contents.scrollTop = contents.querySelector("[aria-current]")?.offsetTop - contents.clientHeight / 2;
  };
  const watch = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) seen[isIntersecting ? "add" : "delete"](target);
    const current = [...links].findLast(([each]) => seen.has(each))?.[1];
    if (!current) return;
    for (const link of links.values()) link.ariaCurrent = link === current ? "true" : null;
    document.querySelector(".here").textContent = current.textContent;
    centre();
  }, { rootMargin: "-20% 0px -80%" });
  for (const each of links.keys()) watch.observe(each);
  contents.addEventListener("toggle", centre);
  contents.addEventListener("click", (event) => { if (event.target.closest("a")) contents.hidePopover(); });
}

// A click or Enter enlarges a picture; Escape or a click anywhere closes it.
const dialog = document.body.appendChild(document.createElement("dialog"));
dialog.addEventListener("click", () => dialog.close());
for (const picture of document.querySelectorAll("main img")) {
  [picture.tabIndex, picture.role, picture.ariaHasPopup] = [0, "button", "dialog"];
  const enlarge = () => {
    const [large, caption, close] = ["img", "p", "button"].map((name) => document.createElement(name));
    [large.src, large.alt] = [picture.currentSrc || picture.src, picture.alt];
    [caption.textContent, caption.ariaHidden] = [picture.alt, "true"];
    [close.textContent, close.className] = ["Close", "pill"];
    dialog.ariaLabel = "Picture";
    dialog.replaceChildren(large, caption, close);
    dialog.showModal();
  };
  picture.addEventListener("click", enlarge);
  picture.addEventListener("keydown", (event) => {
    if (!["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    enlarge();
  });
}

// The confusion matrix describes the cell under the pointer, or the one chosen by the arrow keys.
for (const matrix of document.querySelectorAll("svg.matrix")) {
  const readout = matrix.closest("figure").querySelector(".readout");
  const classes = Number(matrix.dataset.classes);
  const rows = [...matrix.querySelectorAll(".row-label")];
  const columns = [...matrix.querySelectorAll(".column-label")];
  const plot = matrix.querySelector(".plot");
  const cursor = plot.cloneNode();
  cursor.setAttribute("class", "cursor");
  let at = [0, 0];
  const look = (row, column) => {
    at = [row, column];
    const cell = matrix.querySelector(`[data-at="${row},${column}"] title`);
    readout.textContent = cell ? cell.textContent
      : `${rows[row].textContent} classified as ${columns[column].textContent}: never`;
    const side = Number(plot.getAttribute("width")) / classes;
    for (const [name, index] of [["x", column], ["y", row]]) {
      cursor.setAttribute(name, Number(plot.getAttribute(name)) + index * side);
    }
    for (const name of ["width", "height"]) cursor.setAttribute(name, side);
    matrix.append(cursor);
    rows.forEach((label, i) => label.classList.toggle("on", i === row));
    columns.forEach((label, i) => label.classList.toggle("on", i === column));
  };
  const point = (event) => {
    const box = plot.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / box.width * classes);
    const row = Math.floor((event.clientY - box.top) / box.height * classes);
    if ([row, column].every((i) => i >= 0 && i < classes)) look(row, column);
  };
  matrix.addEventListener("pointermove", point);
  matrix.addEventListener("pointerdown", point);
  matrix.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    look(...at.map((i, axis) => Math.min(classes - 1, Math.max(0, i + step[axis]))));
  });
}

// run.js, where it is beside the page, describes by a page's id the run that wrote the page.
const run = window.runs?.[root.dataset.page];
if (run) {
  const written = document.getElementById("run");
  const commit = document.createElement("code");
  commit.textContent = run.commit;
  const place = run.commit ? ["Written at commit ", commit] : ["Written outside a git repository"];
  const changes = run.changed ? ", with changes to code or parameters that were not committed" : "";
  written.append(...place, `${changes}, on ${run.written.replace("T", " ").replace("Z", " UTC")}.`);
  written.hidden = false;
}

// How long its stages took, the longest first.
if (run?.timings.length) {
  const table = document.createElement("table");
  const line = (kind, ...cells) => {
    const row = table.appendChild(document.createElement("tr"));
    cells.forEach((text, i) => {
      const cell = row.appendChild(document.createElement(kind));
      cell.textContent = text;
      if (i > 1) cell.className = "number";
    });
  };
  line("th", "Stage", "Of", "Seconds", "Peak memory, MiB");
  const sorted = [...run.timings].sort((a, b) => b.seconds - a.seconds);
  for (const { stage, seconds, peak_mib, ...of } of sorted) {
    line("td", stage, Object.values(of).join(" · "), seconds.toFixed(1), peak_mib.toLocaleString("en"));
  }
  const total = sorted.reduce((sum, each) => sum + each.seconds, 0);
  line("th", "Total, one after the other", "", total.toFixed(1), "");
  document.querySelector("#times p").textContent = "How long each stage took when it last ran on that machine; stages whose results were up to date did not run again.";
  document.querySelector("#times .scroll").append(table);
}

// Boxes that scroll sideways fade out at the right while there is more.
for (const box of document.querySelectorAll(".scroll")) {
  const mark = () => box.classList.toggle("more", box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
  const resized = new ResizeObserver(mark);
  for (const each of [box, ...box.children]) resized.observe(each);
  box.addEventListener("scroll", mark, { passive: true });
}
