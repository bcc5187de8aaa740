
// The charts of a history: one combination or all, one metric at a time, as wide as wanted.
{
  const charts = document.getElementById("charts");
  const [combination, metric] = ["combination", "metric"].map((id) => document.getElementById(id));
  const count = Number(charts.dataset.commits);
  const frames = [...charts.querySelectorAll(".plot .scroll")];
  const visible = (element) => element.checkVisibility();

  // Commits are named as far as there is room.
  const name = () => {
    const frame = frames.find(visible);
    if (!frame) return;
    const every = Math.ceil(64 * count / frame.firstElementChild.getBoundingClientRect().width);
    for (const svg of charts.querySelectorAll(".commits")) {
      svg.querySelectorAll(".commit").forEach((each, at) => each.classList.toggle("rest", at % every !== 0));
    }
  };
  const filter = () => {
    for (const line of charts.querySelectorAll(".line")) {
      line.hidden = combination.value !== "" && line.dataset.line !== combination.value;
    }
    for (const figure of charts.querySelectorAll("figure[data-metric]")) {
      figure.hidden = figure.dataset.metric !== metric.value;
    }
    name();
  };
  for (const each of [combination, metric]) each.addEventListener("change", filter);

  // Zoom: the charts grow sideways in their frames, which scroll together.
  let zoom = 1;
  const magnify = (factor) => {
    const middle = frames.find(visible);
    const place = middle ? (middle.scrollLeft + middle.clientWidth / 2) / middle.scrollWidth : 0;
    zoom = factor ? Math.min(64, Math.max(1, zoom * factor)) : 1;
    charts.style.setProperty("--zoom", `${100 * zoom}%`);
    for (const frame of frames) frame.scrollLeft = place * frame.scrollWidth - frame.clientWidth / 2;
    name();
  };
  const factors = { in: 2, out: .5, fit: 0 };
  for (const button of charts.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => magnify(factors[button.dataset.zoom]));
  }
  for (const frame of frames) {
    frame.addEventListener("scroll", () => {
      for (const each of frames) if (each.scrollLeft !== frame.scrollLeft) each.scrollLeft = frame.scrollLeft;
    });
  }
  addEventListener("resize", name);

  // Any two commits: the command that compares them.
  const [older, newer] = ["older", "newer"].map((id) => document.getElementById(id));
  const command = document.getElementById("command");
  const write = () => {
    command.textContent = `python -m flows.compare ${older.value} ${newer.value}`;
  };
  const choose = (old, young) => { [older.value, newer.value] = [old, young]; write(); };
  for (const each of [older, newer]) each.addEventListener("change", write);
  for (const each of document.querySelectorAll("[data-older]")) {
    each.addEventListener("click", () => choose(each.dataset.older, each.dataset.newer));
  }

  // A point is described when it is pointed at or focused; arrow keys go from one to the next.
  for (const svg of charts.querySelectorAll(".commits")) {
    const points = [...svg.querySelectorAll(".point")];
    const readout = svg.closest("figure").querySelector(".readout");
    const describe = (point) => { readout.textContent = point.ariaLabel; };
    const focus = (at) => {
      for (const each of points) each.setAttribute("tabindex", each === points[at] ? "0" : "-1");
      points[at].focus({ preventScroll: true });
      const frame = svg.parentElement;
      const [box, shown] = [points[at].getBoundingClientRect(), frame.getBoundingClientRect()];
      if (box.left < shown.left || box.right > shown.right) {
        frame.scrollLeft += box.left + box.width / 2 - shown.left - shown.width / 2;
      }
    };
    points.forEach((point, at) => {
      point.addEventListener("pointerenter", () => describe(point));
      point.addEventListener("focus", () => describe(point));
      point.addEventListener("click", () => focus(at));
      point.addEventListener("keydown", (event) => {
        const marked = (step) => {
          for (let i = at + step; points[i]; i += step) if (points[i].querySelector(".mark")) return i;
          return at;
        };
        const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: points.length - 1, PageUp: marked(-1), PageDown: marked(1) }[event.key];
        if (event.key === "+" || event.key === "-") {
          magnify(event.key === "+" ? 2 : .5);
          focus(at);
        } else if (points[to]) focus(to);
        else if (to === undefined) return;
        event.preventDefault();
      });
    });
  }
  filter();
}
