
// A photo is sent as the body of a request; what comes back is shown. Text only ever becomes text.
const get = (id) => document.getElementById(id);
const limit = Number(document.querySelector("main").dataset.mebibytes);
const readable = (label) => label.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
const percent = (share) => (share < 0.0005 ? "<0.1%" : share > 0.9995 ? ">99.9%" : `${(100 * share).toFixed(1)}%`);
const element = (name, text = "", options = {}) => Object.assign(document.createElement(name), { textContent: text }, options);
const say = (text, problem = false) => { get("status").textContent = text; get("status").className = problem ? "problem" : ""; };
get("curl").textContent = get("curl").textContent.replace("http://127.0.0.1", location.origin);

const ask = async (path, file) => {
  const type = file.type.startsWith("image/") ? file.type : "image/unknown";
  const response = await fetch(path, { method: "POST", body: file, headers: { "Content-Type": type } });
  const body = await response.json().catch(() => ({ detail: `the server answers ${response.status}` }));
  if (!response.ok) throw new Error(body.detail);
  return body;
};

let shown = 0; // the number of the photo that was chosen last: an answer for an earlier one comes too late
const show = async (file) => {
  const mine = ++shown;
  get("result").hidden = true;
  get("gradcam").hidden = true;
  if (file.size > limit * 2 ** 20) return say(`${file.name} has more than ${limit} MiB.`, true);
  say(`Reading ${file.name} …`);
  try {
    const found = await ask("/api/predict", file);
    if (mine !== shown) return;
    URL.revokeObjectURL(get("photo").src);
    get("photo").src = URL.createObjectURL(file);
    const name = readable(found.label);
    get("answer").textContent = found.unknown ? "Unknown" : name;
    get("more").textContent = found.unknown
      ? `It looks like no class that the model knows; most like ${name}.`
      : `${found.species ? `${readable(found.species)}. ` : ""}Probability ${percent(found.probability)}.`;
    get("classes").replaceChildren(...found.classes.map(({ label, probability }) => {
      const item = element("li", readable(label));
      item.append(element("span", percent(probability), { className: "number" }));
      item.append(Object.assign(element("progress"), { value: probability, max: 1, ariaLabel: readable(label) }));
      return item;
    }));
    get("similar")?.querySelector("ul").replaceChildren(...found.similar.map(({ image_id, picture }) => {
      const item = element("li");
      item.append(element("img", "", { src: picture, alt: image_id }), image_id);
      return item;
    }));
    get("result").hidden = false;
    say(found.unknown ? `${file.name}: unknown.` : `${file.name}: ${name}, ${percent(found.probability)}.`);
    const explained = await ask("/api/gradcam", file);
    if (mine !== shown) return;
    const [picture, caption] = get("gradcam").children;
    picture.src = explained.picture;
    picture.alt = `Where the picture speaks for ${readable(explained.label)}: yellow most`;
    caption.textContent = `What speaks for ${readable(explained.label)} (Grad-CAM): yellow most`;
    get("gradcam").hidden = false;
  } catch (error) {
    if (mine === shown) say(`${file.name}: ${error instanceof TypeError ? "the server does not answer" : error.message}`, true);
  }
};

get("file").addEventListener("change", ({ target }) => { if (target.files[0]) show(target.files[0]); target.value = ""; });
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => { event.preventDefault(); get("drop").classList.add("over"); });
}
addEventListener("dragleave", () => get("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  get("drop").classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) show(file);
});
addEventListener("paste", (event) => { const file = event.clipboardData.files[0]; if (file) show(file); });
