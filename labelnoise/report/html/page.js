// Draws the charts with uPlot, and moves all cursors together.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("charts").textContent);
  const drawn = [];
  const slider = document.querySelector(".slider");
  const input = document.getElementById("step");
  const output = slider && slider.querySelector("output");
  let steps = [];
  let moving = false;

  // Charts with the same x axis show the same range, also if a curve starts later.
  for (const chart of data) {
    const all = data.filter((other) => other.xLabel === chart.xLabel && other.logX === chart.logX).flatMap((other) => other.x);
    const least = Math.min(...all), most = Math.max(...all);
    if (chart.x[0] > least) { chart.x.unshift(least); chart.series.forEach((s) => s.y.unshift(null)); }
    if (chart.x[chart.x.length - 1] < most) { chart.x.push(most); chart.series.forEach((s) => s.y.push(null)); }
  }

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const whole = (x) => Number(x).toLocaleString("en-US");
  const short = (y) => (y == null ? "" : Math.abs(y) !== 0 && (Math.abs(y) < 0.001 || Math.abs(y) >= 1e5) ? y.toExponential(2) : String(+y.toPrecision(4)));

  for (const tick of document.querySelectorAll(".tick")) tick.style.left = `${100 * tick.dataset.at}%`;
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const text = button.previousElementSibling;
      getSelection().selectAllChildren(text);
      try { await navigator.clipboard.writeText(text.textContent); button.textContent = "Copied"; } catch { button.textContent = "Selected"; }
    });
  }

  function marksOf(chart) {
    return (plot) => {
      const ctx = plot.ctx;
      ctx.save();
      ctx.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      for (const mark of chart.marks) {
        const x = plot.valToPos(mark.x, "x", true);
        if (!(x >= plot.bbox.left && x <= plot.bbox.left + plot.bbox.width)) continue;
        ctx.strokeStyle = ctx.fillStyle = css(`--${mark.color}`);
        ctx.lineWidth = devicePixelRatio;
        ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(x, plot.bbox.top);
        ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
        ctx.stroke();
        ctx.fillText(mark.letter, x, plot.bbox.top - 4 * devicePixelRatio);
      }
      ctx.restore();
    };
  }

  function axis(label, log, size) {
    return {
      label, size, labelSize: 22, labelGap: 0, gap: 6,
      stroke: () => css("--soft"),
      grid: { stroke: () => css("--grid"), width: 1 },
      ticks: { stroke: () => css("--line"), width: 1, size: 4 },
      font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
      values: (plot, splits) => splits.map((v) => (v == null ? "" : label && size > 50 ? short(v) : v >= 1e6 ? v.toExponential(0) : whole(v))),
      ...(log ? {} : { space: size > 50 ? 34 : 60 }),
    };
  }

  function draw(figure) {
    const chart = data[figure.dataset.chart];
    const box = figure.querySelector(".plot");
    const legend = figure.querySelector(".legend");
    const rows = [chart.x, ...chart.series.map((s) => s.y)];
    const bands = [];
    chart.series.forEach((s, i) => { if (s.part === "high") bands.push({ series: [i + 1, i + 2], fill: () => css(`--${s.color}`) + "33" }); });
    const options = {
      width: box.clientWidth, height: box.clientHeight, padding: [18, 14, 0, 0],
      legend: { show: false },
      cursor: { x: true, y: false, sync: { key: chart.xLabel, scales: ["x", null] }, points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { time: false, distr: chart.logX ? 3 : 1, range: (plot, least, most) => [least, most] }, y: { distr: chart.logY ? 3 : 1 } },
      axes: [axis(chart.xLabel, chart.logX, 30), axis(chart.yLabel, chart.logY, 70)],
      bands,
      series: [{}, ...chart.series.map((s) => ({
        label: s.label, spanGaps: true, points: { show: s.part === "line" && s.y.filter((y) => y != null).length < 25, size: 5 },
        stroke: () => (s.part === "line" ? css(`--${s.color}`) : "transparent"),
        width: s.part === "line" ? 2 : 0, dash: s.dashed ? [7, 5] : undefined,
      }))],
      hooks: { draw: [marksOf(chart)], setCursor: [(plot) => read(plot)] },
    };
    const plot = new uPlot(options, rows, box);
    plot.readers = [];
    chart.series.forEach((s, i) => {
      if (s.part !== "line") return;
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.title = "show or hide";
      const swatch = document.createElement("span");
      swatch.className = `swatch ${s.color}${s.dashed ? " dashed" : ""}`;
      const name = document.createElement("span");
      name.textContent = s.label;
      const value = document.createElement("b");
      button.append(swatch, name, value);
      button.addEventListener("click", () => {
        const show = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(show));
        for (let j = i; j === i || (chart.series[j] && chart.series[j].part !== "line"); j++) plot.setSeries(j + 1, { show });
      });
      legend.append(button);
      plot.readers.push([value, s.y]);
    });
    drawn.push({ plot, chart, box });
    read(plot);
  }

  // Write the values at the cursor, or the last ones, into the legend.
  function read(plot) {
    if (!plot.readers) return;
    const x = plot.data[0];
    const at = plot.cursor.idx == null || plot.cursor.left < 0 ? x.length - 1 : plot.cursor.idx;
    for (const [value, y] of plot.readers) {
      let i = at;
      while (i >= 0 && y[i] == null) i--;
      value.textContent = i < 0 ? "" : short(y[i]);
    }
    if (output && !moving && plot.cursor.event && plot.cursor.left >= 0) show(x[at]);
  }

  function show(step) {
    output.textContent = `all charts at ${drawn[0].chart.xLabel.replace("training ", "")} ${whole(step)}`;
    let nearest = 0;
    steps.forEach((s, i) => { if (s <= step) nearest = i; });
    input.value = nearest;
  }

  function moveTo(step) {
    moving = true;
    for (const { plot } of drawn) plot.setCursor({ left: Math.max(0, Math.min(plot.over.clientWidth, plot.valToPos(step, "x"))), top: 0 }, true, false);
    moving = false;
    show(step);
  }

  function open(root) {
    for (const figure of root.querySelectorAll(".chart")) {
      if (figure.querySelector(".uplot") || figure.closest("details:not([open])")) continue;
      draw(figure);
    }
    const shared = drawn.filter(({ chart }) => chart.xLabel === "training step" || chart.xLabel.startsWith("step"));
    steps = [...new Set(shared.flatMap(({ chart }) => chart.x))].sort((a, b) => a - b);
    if (slider && steps.length > 1) {
      slider.hidden = false;
      input.max = steps.length - 1;
      if (output.textContent.startsWith("move")) input.value = steps.length - 1;
      input.setAttribute("aria-valuetext", `step ${steps[input.value]}`);
    }
  }

  function fit() {
    for (const { plot, box } of drawn) if (box.clientWidth) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }

  if (input) input.addEventListener("input", () => {
    input.setAttribute("aria-valuetext", `step ${steps[input.value]}`);
    moveTo(steps[input.value]);
  });
  for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", () => details.open && open(details));
  addEventListener("resize", fit);
  const again = () => drawn.forEach(({ plot }) => plot.redraw(false, true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  // On paper the charts have light colours and another size.
  matchMedia("print").addEventListener("change", () => { fit(); again(); });
  open(document);
})();
