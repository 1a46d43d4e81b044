// Everything on the page can be read without this: it adds a theme switch, sorting, links to copy.
(() => {
  "use strict";
  const root = document.documentElement;

  const button = (words, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = words;
    made.addEventListener("click", () => act(made));
    return made;
  };

  const isDark = () =>
    (root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const theme = button("Light or dark", () => {
    root.style.colorScheme = isDark() ? "light" : "dark";
  });

  const tables = [...document.querySelectorAll("main details")];
  const all = button("Open all data tables", (made) => {
    const open = tables.some((table) => !table.open);
    for (const table of tables) table.open = open;
    made.textContent = open ? "Close all data tables" : "Open all data tables";
  });
  document.querySelector(".tools").append(theme, ...(tables.length ? [all] : []));

  const digits = { "⁻": "-", "⁰": 0, "¹": 1, "²": 2, "³": 3, "⁴": 4, "⁵": 5, "⁶": 6, "⁷": 7, "⁸": 8, "⁹": 9 };
  const numberIn = (text) => {
    const [mantissa, power] = text.replaceAll(",", "").replace("−", "-").split(/\s*×\s*10/);
    const exponent = power ? [...power].map((sign) => digits[sign]).join("") : "0";
    return text.trim() ? Number(`${mantissa}e${exponent}`) : NaN;
  };
  const compare = (a, b) => {
    const [x, y] = [numberIn(a), numberIn(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.localeCompare(b);
    return x - y;
  };
  const sort = (head) => {
    const body = head.closest("table").tBodies[0];
    const down = head.ariaSort === "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.ariaSort = down ? "descending" : "ascending";
    const text = (row) => row.cells[head.cellIndex].textContent;
    body.append(...[...body.rows].sort((a, b) => compare(text(a), text(b)) * (down ? -1 : 1)));
  };
  for (const head of document.querySelectorAll("table.data thead th")) {
    const made = button("", () => sort(head));
    made.append(...head.childNodes);
    head.append(made);
  }

  for (const link of document.querySelectorAll("a.here"))
    link.addEventListener("click", () => navigator.clipboard?.writeText(link.href).catch(() => {}));
})();
