// Mounts a live figure in every element such as <div class="live" data-live="perceptron"></div>.

for (const root of document.querySelectorAll(".live[data-live]")) {
  const { mount } = await import(`./${root.dataset.live}.js`);
  await mount(root);
}
