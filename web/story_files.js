/**
 * Load Story File: a button that uploads a file, and a file dropped on the node.
 *
 * ComfyUI's own upload widget takes pictures, sounds and videos only; its route takes any file.
 */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NODE = "SeedStory_LoadStoryFile";
const ENDINGS = [".seedstory", ".png", ".pdf", ".epub", ".cbz", ".html"];

const isStory = (file) => ENDINGS.some((ending) => file.name.toLowerCase().endsWith(ending));

/** Uploads to the input folder; the name it got there, which differs where one was taken. */
async function upload(file) {
  const body = new FormData();
  body.append("image", file);
  const answer = await api.fetchApi("/upload/image", { method: "POST", body });
  if (answer.status === 413) throw new Error("it is larger than --max-upload-size allows");
  if (answer.status !== 200) throw new Error(`the server answered ${answer.status}`);
  return (await answer.json()).name;
}

async function take(node, file) {
  const widget = node.widgets?.find((one) => one.name === "file");
  if (!widget) return;
  try {
    const name = await upload(file);
    if (!widget.options.values.includes(name)) widget.options.values.unshift(name);
    widget.value = name;
    widget.callback?.(name);
    node.setDirtyCanvas(true, true);
  } catch (error) {
    app.extensionManager.toast.add({
      severity: "error",
      summary: `${file.name} was not uploaded`,
      detail: error.message,
      life: 8000,
    });
  }
}

function chooseFile(node) {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = ENDINGS.join(",");
  input.addEventListener("change", () => input.files[0] && take(node, input.files[0]));
  input.click();
}

app.registerExtension({
  name: "seedstory.storyFiles",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const button = node.addWidget("button", "choose story file", null, () => chooseFile(node));
    button.serialize = false;
    node.onDragOver = (event) => [...(event.dataTransfer?.items ?? [])].some((i) => i.kind === "file");
    node.onDragDrop = (event) => {
      const file = [...(event.dataTransfer?.files ?? [])].find(isStory);
      if (file) take(node, file);
      return Boolean(file);
    };
  },
});
