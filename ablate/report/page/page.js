"use strict";
{
  const all = (query, root = document) => [...root.querySelectorAll(query)];

  // numbers by value, also those in names (lr-0.02 before lr-0.1); text by the alphabet; unknown values come last
  const key = cell => {
    const text = cell.textContent.trim();
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return text === "" || text === "–" ? null : text;
  };
  const pieces = value => String(value).match(/\d+(?:\.\d+)?|\D+/g) ?? [];
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    const [left, right] = [pieces(a), pieces(b)];
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      const order = left[i] - right[i] || left[i].localeCompare(right[i], "en");
      if (order) return order;
    }
    return left.length - right.length;
  };

  for (const table of all("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const rows = [...table.tBodies].flatMap(body => [...body.rows]);
        const keys = new Map(rows.map(row => [row, key(row.cells[place])]));
        rows.sort((one, other) => {
          const a = keys.get(one), b = keys.get(other);
          if (a === null || b === null) return (a === null) - (b === null);
          return sign * compare(a, b);
        });
        table.tBodies[0].append(...rows);
        for (const body of [...table.tBodies].slice(1)) body.remove();
      });
    });
  }

  // the variant under the pointer or with the focus is lit in the sentences, the table and the pictures
  const marked = all("[data-variant]");
  let shown;
  const light = event => {
    const variant = event.target.closest?.("[data-variant]")?.dataset.variant;
    if (variant === shown) return;
    shown = variant;
    for (const element of marked) element.classList.toggle("lit", element.dataset.variant === variant);
    for (const svg of all("svg")) svg.classList.toggle("some", svg.querySelector(".lit") !== null);
    document.documentElement.classList.toggle("lighting", variant !== undefined);
  };
  document.addEventListener("pointerover", light);
  document.addEventListener("focusin", light);

  const sections = all("main > details");
  const button = document.createElement("button");
  button.type = "button";
  const label = () => { button.textContent = sections.some(one => one.open) ? "Fold all" : "Unfold all"; };
  button.addEventListener("click", () => {
    const open = !sections.some(one => one.open);
    for (const one of sections) one.open = open;
  });
  for (const one of sections) one.addEventListener("toggle", label);
  label();
  const item = document.createElement("li");
  item.append(button);
  document.querySelector("nav ul").append(item);
  for (const link of all("nav a")) {
    link.addEventListener("click", () => { document.querySelector(link.hash).closest("details").open = true; });
  }

  // paper does not unfold
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
  });
}
