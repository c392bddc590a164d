// Text as C++ source.

const DELIMITER = "hypura";
const CHUNK = 12000; // characters: compilers need not take literals of more than 64 KiB

// A raw string literal of `text`.
function literal(text) {
  if (text.includes(`)${DELIMITER}"`)) throw new Error(`the page holds )${DELIMITER}", which ends a literal of it`);
  return `R"${DELIMITER}(${text})${DELIMITER}"`;
}

// Splits `text` into pieces of about `size` characters, none ending within a surrogate pair.
export function chunks(text, size = CHUNK) {
  const pieces = [];
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + size, text.length);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last < 0xdc00) ++end;
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

// The definition of hypura::page_data() (src/server/page/page_data.h).
export function cppSource({ html, policy, tag }) {
  return `// Made by web/build.mjs.
#include "server/page/page_data.h"

namespace hypura {

const PageData& page_data() {
  static const PageData data = [] {
    PageData page;
    for (const char* chunk : {
${chunks(html)
  .map((chunk) => `      ${literal(chunk)},`)
  .join("\n")}
    }) {
      page.html += chunk;
    }
    page.policy = ${literal(policy)};
    page.tag = ${literal(tag)};
    return page;
  }();
  return data;
}

}  // namespace hypura
`;
}
