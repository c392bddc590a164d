// Writes a GGUF file again with another chat template, for tests.
import { readFileSync, writeFileSync } from "node:fs";

const HEAD = 24; // magic, version, and the numbers of tensors and of keys, as 64 bits each
const ALIGNMENT = 32; // of the data, where no key says otherwise
const STRING = 8;
const ARRAY = 9;
const SIZES = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const TEMPLATE_KEY = "tokenizer.chat_template";

const u32 = (value) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };
const u64 = (value) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(BigInt(value)); return bytes; };
const string = (text) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
const aligned = (size) => Math.ceil(size / ALIGNMENT) * ALIGNMENT;

// A reader of `bytes` that knows where it is.
class Reader {
  constructor(bytes, at) { this.bytes = bytes; this.at = at; }
  u32() { this.at += 4; return this.bytes.readUInt32LE(this.at - 4); }
  u64() { this.at += 8; return Number(this.bytes.readBigUInt64LE(this.at - 8)); }
  string() { const size = this.u64(); this.at += size; return this.bytes.toString("utf8", this.at - size, this.at); }

  skipValue(type) {
    if (type === STRING) this.string();
    else if (type !== ARRAY) this.at += SIZES[type];
    else {
      const element = this.u32();
      const count = this.u64();
      if (element in SIZES) this.at += count * SIZES[element];
      else for (let i = 0; i < count; ++i) this.skipValue(element);
    }
  }
}

// What of `file` does not hang on the template: {write(path, template)}.
export function openModel(file) {
  const bytes = readFileSync(file);
  const reader = new Reader(bytes, 8);
  const tensors = reader.u64();
  const keys = [];
  for (let left = reader.u64(); left > 0; --left) {
    const begin = reader.at;
    const name = reader.string();
    reader.skipValue(reader.u32());
    if (name !== TEMPLATE_KEY) keys.push(bytes.subarray(begin, reader.at));
  }
  const begin = reader.at;
  for (let i = 0; i < tensors; ++i) {
    reader.string();
    const dimensions = reader.u32();
    reader.at += 8 * dimensions + 4 + 8; // and the type, and the place
  }
  const places = bytes.subarray(begin, reader.at);
  const data = bytes.subarray(aligned(reader.at));

  const write = (path, template) => {
    const head = Buffer.concat([bytes.subarray(0, HEAD - 8), u64(keys.length + 1), ...keys, string(TEMPLATE_KEY), u32(STRING), string(template), places]);
    writeFileSync(path, Buffer.concat([head, Buffer.alloc(aligned(head.length) - head.length), data]));
  };
  return { write };
}
