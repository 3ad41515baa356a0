"use strict";
// The samples, grids or texts: those of one step are shown, chosen by a slider, the arrow keys or the play button.
(() => {
  const samples = [...document.querySelectorAll(".stage > [data-step]")];
  const steps = [...new Set(samples.map((sample) => Number(sample.dataset.step)))].sort((one, other) => one - other);
  const controls = document.querySelector(".controls");
  if (steps.length > 1 && controls) {
    const slider = controls.querySelector("input"), button = controls.querySelector("button"), output = controls.querySelector("output");
    const last = steps.length - 1;
    const delay = Math.min(600, Math.max(60, 8000 / steps.length));
    let timer = null;

    const show = (index) => {
      samples.forEach((sample) => { sample.hidden = Number(sample.dataset.step) !== steps[index]; });
      slider.value = index;
      const step = "step " + steps[index].toLocaleString("en");
      output.textContent = step;
      slider.setAttribute("aria-valuetext", step);
    };
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    };
    const play = () => {
      if (Number(slider.value) === last) show(0);
      button.textContent = "Pause";
      timer = setInterval(() => {
        show(Number(slider.value) + 1);
        if (Number(slider.value) === last) stop();
      }, delay);
    };
    button.addEventListener("click", () => (timer ? stop() : play()));
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    document.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
      stop();
      show(Math.min(last, Math.max(0, Number(slider.value) + by)));
      event.preventDefault();
    });
    controls.hidden = false;
    show(last);
  }
  document.documentElement.dataset.samples = samples.length;
})();
