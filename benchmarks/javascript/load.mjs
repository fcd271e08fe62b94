// Time one session under concurrent callers: the same code in node and in a page.

export const ARRAYS = {
  bool: Uint8Array, uint8: Uint8Array, int8: Int8Array, int32: Int32Array,
  int64: BigInt64Array, float32: Float32Array, float64: Float64Array,
};

// The first item of each input, as a client sends it
export function oneItem(ort, expected, valuesOf) {
  const feeds = {};
  for (const tensor of expected.inputs) {
    const values = valuesOf(tensor);
    const item = values.slice(0, values.length / tensor.shape[0]);
    feeds[tensor.name] = new ort.Tensor(tensor.dtype, item, [1, ...tensor.shape.slice(1)]);
  }
  return feeds;
}

export async function underLoad(session, feeds, clients, seconds) {
  await session.run(feeds);
  const times = [];
  const start = performance.now(), end = start + 1000 * seconds;
  async function client() {
    while (performance.now() < end) {
      const begun = performance.now();
      await session.run(feeds);
      times.push(performance.now() - begun);
    }
  }
  await Promise.all(Array.from({ length: clients }, client));
  const taken = (performance.now() - start) / 1000;
  times.sort((a, b) => a - b);
  return {
    clients,
    items_per_s: times.length / taken,
    p50_ms: times[Math.floor(times.length / 2)],
  };
}

export async function load(session, feeds, seconds) {
  const rows = [];
  for (const clients of [1, 2, 4, 8]) rows.push(await underLoad(session, feeds, clients, seconds));
  return rows;
}
