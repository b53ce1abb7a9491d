// Packs files into a zip without compression: images are compressed already. The zip is a Blob that
// refers to the files, so its size costs no memory. The same files always give the same bytes, so an
// interrupted upload of a folder can continue.

import { text } from "../layout/texts.js";

const MOST_FILES = 65_535; // of a zip without the extension for large ones
const MOST_BYTES = 4_294_967_295;
const DATE = 0x21; // 1 January 1980, the zero of zip
const UTF8 = 0x0800;
const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** What another try does not change. The message is for people. */
export class Refused extends Error {}

/** The CRC-32 of bytes. @param {Uint8Array} bytes */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * @param {{name: string, file: File}[]} entries in the order of the zip
 * @param {(done: number) => void} tell called with the number of files read
 * @returns {Promise<Blob>}
 */
export async function packZip(entries, tell) {
  if (entries.length > MOST_FILES) {
    throw new Refused(text("too_many", { count: entries.length }));
  }
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [index, { name, file }] of entries.entries()) {
    const crc = crc32(new Uint8Array(await file.arrayBuffer()));
    const head = header(name, file.size, crc);
    parts.push(head.local, file);
    directory.push(head.central(offset));
    offset += head.local.size + file.size;
    if (offset > MOST_BYTES) throw new Refused(text("too_large"));
    tell(index + 1);
  }
  const size = directory.reduce((sum, one) => sum + one.size, 0);
  const count = entries.length;
  const end = record(22, [[4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end]);
}

function header(name, size, crc) {
  const bytes = new TextEncoder().encode(name);
  const common = [[2, UTF8], [2, 0], [2, 0], [2, DATE], [4, crc], [4, size], [4, size], [2, bytes.length], [2, 0]];
  return {
    local: new Blob([record(30, [[4, 0x04034b50], [2, 20], ...common]), bytes]),
    central: (offset) => new Blob([
      record(46, [[4, 0x02014b50], [2, 20], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), bytes,
    ]),
  };
}

/** Little-endian numbers, given as [bytes, value]. */
function record(length, fields) {
  const view = new DataView(new ArrayBuffer(length));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view.buffer;
}
