// Lists the routes of openapi.json.

const schema = await (await fetch("/openapi.json")).json();
for (const [path, methods] of Object.entries(schema.paths)) {
  for (const [method, route] of Object.entries(methods)) {
    const title = document.createElement("h2");
    title.textContent = `${method.toUpperCase()} ${path}`;
    const text = document.createElement("p");
    text.textContent = route.description || route.summary || "";
    const list = document.createElement("ul");
    for (const p of route.parameters || []) {
      const item = document.createElement("li");
      item.textContent = `${p.name} (${p.in}${p.required ? "" : ", optional"})`;
      list.append(item);
    }
    document.getElementById("routes").append(title, text, list);
  }
}
