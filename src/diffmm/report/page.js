"use strict";
// A crosshair that reads values off the drawn paths: no data are stored twice.
(() => {
  const charts = [...document.querySelectorAll("svg.chart[data-x=time]")];
  const numbers = (text) => text.split(" ").map(Number);
  const clock = (s) => {
    const t = Math.round(s * 10) / 10, h = Math.floor(t / 3600), m = Math.floor(t / 60) % 60;
    const left = (t % 60).toFixed(1).padStart(4, "0");
    return h ? `${h}:${String(m).padStart(2, "0")}:${left}` : `${m}:${left}`;
  };
  const points = (path) => {
    path.points ??= [...path.getAttribute("d").matchAll(/(-?[\d.e]+) (-?[\d.e]+)/g)].map((p) => [+p[1], +p[2]]);
    return path.points;
  };
  const before = (list, n, x) => {
    let low = 0, high = n - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (list[middle][0] <= x) low = middle; else high = middle - 1;
    }
    return low;
  };
  const read = (svg, x) => {
    const [x0, x1, y0, y1] = numbers(svg.dataset.ends), [l, r, b, t] = numbers(svg.dataset.box);
    const value = (px) => y0 + ((px - b) * (y1 - y0)) / (t - b);
    const show = (v) => v.toLocaleString("en", { maximumSignificantDigits: Math.abs(v) >= 1e4 ? 7 : 4 });
    const out = [clock(x0 + ((x - l) * (x1 - x0)) / (r - l))];
    for (const path of svg.querySelectorAll("path[data-name]")) {
      const list = points(path);
      if (!list.length) continue;
      if (path.classList.contains("line")) {
        const at = list[before(list, list.length, x)];
        out.push(`${path.dataset.name} ${show(value(at[1]))}`);
        continue;
      }
      const k = before(list, list.length / 2, x), high = value(list[k][1]), low = value(list[list.length - 1 - k][1]);
      out.push(`${path.dataset.name} ${path.classList.contains("stack") ? show(high - low) : `${show(low)} to ${show(high)}`}`);
    }
    return out;
  };
  const clear = () => document.querySelectorAll(".hair,.tip").forEach((e) => e.remove());
  for (const svg of charts) {
    svg.addEventListener("mouseleave", clear);
    svg.addEventListener("mousemove", (event) => {
      clear();
      const view = svg.viewBox.baseVal.width, x = ((event.clientX - svg.getBoundingClientRect().left) / svg.clientWidth) * view;
      const [l, r] = numbers(svg.dataset.box);
      if (x < l || x > r) return;
      for (const other of charts.filter((c) => c.dataset.ends.split(" ").slice(0, 2).join() === svg.dataset.ends.split(" ").slice(0, 2).join())) {
        const [, , bottom, top] = numbers(other.dataset.box);
        const hair = document.createElementNS("http://www.w3.org/2000/svg", "path");
        hair.setAttribute("class", "hair");
        hair.setAttribute("d", `M${x} ${top}V${bottom}`);
        other.append(hair);
      }
      const tip = document.createElement("div");
      tip.className = "tip";
      tip.textContent = read(svg, x).join("  ·  ");
      svg.closest("figure").append(tip);
    });
  }
})();
