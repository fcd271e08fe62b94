// node node.mjs PACKAGE FOLDER OUT SECONDS: run a folder that was published for ort-web with the
// onnxruntime-node in PACKAGE, write the results of the test vectors to OUT, and print the load.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ARRAYS, load, oneItem } from "./load.mjs";

const [packages, folder, out, seconds] = process.argv.slice(2);
const ort = createRequire(join(packages, "package.json"))("onnxruntime-node");

function valuesOf(tensor) {
  const bytes = readFileSync(join(folder, tensor.file));
  return new ARRAYS[tensor.dtype](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8"));
const session = await ort.InferenceSession.create(join(folder, "model.onnx"));
const whole = {};
for (const tensor of expected.inputs) {
  whole[tensor.name] = new ort.Tensor(tensor.dtype, valuesOf(tensor), tensor.shape);
}
const found = await session.run(whole);
expected.outputs.forEach((output, index) => {
  const { data } = found[output.name];
  writeFileSync(join(out, `${index}.bin`), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
});
console.log(JSON.stringify(await load(session, oneItem(ort, expected, valuesOf), Number(seconds))));
