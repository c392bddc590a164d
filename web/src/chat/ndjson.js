// Records of a stream of JSON objects, one a line.

// Yields one object for each line of `body`, a ReadableStream of bytes. A last line without a line break counts too.
export async function* records(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = rest.split("\n");
      rest = done ? "" : lines.pop();
      for (const line of lines) {
        if (line.trim() !== "") yield JSON.parse(line);
      }
      if (done) return;
    }
  } finally {
    // Also when the reader of this stops early: the connection is closed, and with it the answer.
    reader.cancel().catch(() => {});
  }
}
