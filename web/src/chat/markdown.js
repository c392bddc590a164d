// Markdown of a model, as nodes that can do nothing: no scripts, no styles, no pictures, no forms.
import DOMPurify from "dompurify";
import { Marked } from "marked";

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

// HTML in an answer is text to be read, but for the line breaks that models put into tables.
function html({ text }) {
  return /^\s*<br\s*\/?>\s*$/i.test(text) ? "<br>" : text.replace(/[&<>]/g, (it) => escapes[it]);
}

const marked = new Marked({ gfm: true, breaks: true, async: false, renderer: { html } });

const RULES = {
  USE_PROFILES: { html: true },
  FORBID_TAGS: ["style", "img", "picture", "video", "audio", "source", "form", "button", "textarea", "select", "option", "svg", "math"],
  FORBID_ATTR: ["style", "class", "id", "name"],
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

// Links leave the page in a tab of their own, and do not tell where they came from.
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
  // A task list's boxes are for looking at.
  if (node.tagName === "INPUT") {
    if (node.getAttribute("type") === "checkbox") node.setAttribute("disabled", "");
    else node.remove();
  }
});

export function markdownFragment(text) {
  return DOMPurify.sanitize(marked.parse(text), RULES);
}
