"use strict";
// Draws every figure.chart from the page's JSON; long curves faintly, their running mean on top.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const figures = [...document.querySelectorAll("figure.chart")];
  const toggle = document.getElementById("logarithmic");
  const HEIGHT = 230;
  const plots = [];

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (value) =>
    Math.abs(value) >= 1e6 ? +(value / 1e6).toPrecision(4) + "M" : Math.abs(value) >= 1e4 ? +(value / 1e3).toPrecision(4) + "k" : String(+value.toPrecision(4));
  const exact = (value) => (value == null ? "–" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(4)));

  function drawMeans(lines) {
    return (plot, index) => {
      const mean = index > 0 ? lines[index - 1].mean : null;
      if (!mean || !plot.series[index].show) return;
      const context = plot.ctx;
      context.save();
      context.beginPath();
      context.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
      context.clip();
      context.beginPath();
      let down = false;
      mean[0].forEach((step, place) => {
        const value = mean[1][place];
        if (value === null) { down = false; return; }
        const x = plot.valToPos(step, "x", true), y = plot.valToPos(value, "y", true);
        down ? context.lineTo(x, y) : context.moveTo(x, y);
        down = true;
      });
      context.strokeStyle = style("--line-" + (lines[index - 1].colour % 8));
      context.lineWidth = 2 * devicePixelRatio;
      context.lineJoin = "round";
      context.stroke();
      context.restore();
    };
  }

  function draw(figure, chart) {
    const place = figure.querySelector("div");
    const values = chart.lines.flatMap((line) => line.points[1]).filter((value) => value !== null);
    const scale = !toggle.checked ? 1 : values.every((value) => value > 0) ? 3 : 4; // 4: arcsinh, for signed values
    const axis = { stroke: style("--faint"), grid: { stroke: style("--grid"), width: 1 }, ticks: { show: false }, font: "12px " + style("--sans") };
    const options = {
      width: Math.max(160, place.clientWidth),
      height: HEIGHT,
      cursor: { sync: { key: "steps", setSeries: false }, drag: { x: true, y: false }, points: { size: 7 } },
      legend: { live: true },
      scales: { x: { time: false }, y: { distr: scale, asinh: 0.1 } },
      axes: [
        { ...axis, size: 30, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : short(tick))) },
        { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : short(tick))) },
      ],
      series: [
        { label: "step", value: (_, step) => (step == null ? "–" : step.toLocaleString("en")) },
        ...chart.lines.map((line) => {
          const colour = style("--line-" + (line.colour % 8));
          const lone = line.points[0].length < 2;
          return {
            label: line.label, stroke: line.mean ? colour + "59" : colour, fill: undefined, width: line.mean ? 1 : 1.75,
            points: lone ? { show: true, size: 6, fill: colour } : { show: false },
            value: (_, value) => exact(value),
          };
        }),
      ],
      hooks: { drawSeries: [drawMeans(chart.lines)] },
    };
    const data = values.length ? uPlot.join(chart.lines.map((line) => line.points)) : [[], ...chart.lines.map(() => [])];
    const plot = new uPlot(options, data, place);
    plot.root.querySelectorAll(".u-series:not(:first-child) .u-marker").forEach((marker, index) => {
      marker.style.background = style("--line-" + (chart.lines[index].colour % 8));
      marker.style.border = "0";
    });
    return plot;
  }

  function drawAll() {
    plots.splice(0).forEach((plot) => plot.destroy());
    figures.forEach((figure, index) => plots.push(draw(figure, charts[index])));
  }

  if (figures.length) {
    drawAll();
    toggle.addEventListener("change", drawAll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    new ResizeObserver(() => {
      plots.forEach((plot, index) => {
        const width = Math.max(160, figures[index].querySelector("div").clientWidth);
        if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
      });
    }).observe(figures[0].parentElement);
  }
  document.documentElement.dataset.charts = plots.length;
})();
