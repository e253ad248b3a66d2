// Puts a live figure into every element that asks for one: <div class="live" data-live="perceptron"></div>.

for (const root of document.querySelectorAll(".live[data-live]")) {
  const { mount } = await import(`./${root.dataset.live}.js`);
  await mount(root);
}
