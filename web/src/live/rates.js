// From readings of counters to rates: now, and over the last minutes.

const WINDOW = 2; // seconds that "now" means
const HIT_WINDOW = 10; // seconds of expert uses that a hit rate is told from
export const HISTORY = 180; // seconds that charts show

export class Rates {
  #readings = []; // {time, stats}, of one opening of one model
  #points = { time: [], tokens: [], bytes: [] };

  // Takes a reading of /hypura/live; gives {tokensPerSecond, bytesPerSecond, waiting, hitRate, gpuHitRate, upPerSecond, downPerSecond, linkBusy, workers, busy, points}. A rate is
  // null where nothing can be told; `waiting` is the share of time spent waiting for reads, `linkBusy` that of copies to the GPU. `workers` has {rowsPerSecond, waiting} of each. `points` holds columns of equal length: seconds of the server's clock, tok/s and B/s.
  add(reading) {
    const stats = reading.stats;
    if (!stats) {
      this.#readings = [];
      this.#point(reading.time, 0, 0);
      return { tokensPerSecond: null, bytesPerSecond: null, waiting: null, hitRate: null, gpuHitRate: null, upPerSecond: null, downPerSecond: null, linkBusy: null, workers: [], busy: false, points: this.#points };
    }
    const last = this.#readings.at(-1);
    // Counters only grow: where one has not, the model was loaded anew.
    if (last && (stats.passes < last.stats.passes || reading.time < last.time)) this.#readings = [];
    this.#readings.push({ time: reading.time, stats });
    while (this.#readings.length > 2 && this.#readings[1].time <= reading.time - HIT_WINDOW) this.#readings.shift();

    const recent = this.#since(reading.time - WINDOW);
    const seconds = reading.time - recent.time;
    const rate = (counter) => (seconds > 0 ? (stats[counter] - recent.stats[counter]) / seconds : null);
    const tokensPerSecond = rate("decoded_tokens");
    const bytesPerSecond = rate("streamed_bytes");
    this.#point(reading.time, tokensPerSecond ?? 0, bytesPerSecond ?? 0);
    const busy = stats.running > 0 || (last !== undefined && stats.passes > last.stats.passes);
    return {
      tokensPerSecond, bytesPerSecond, busy,
      waiting: rate("io_wait_seconds"),
      hitRate: this.#hitRate(stats, "expert_lookups", "expert_hits"),
      gpuHitRate: this.#hitRate(stats, "gpu_expert_lookups", "gpu_expert_hits"),
      upPerSecond: rate("gpu_upload_bytes"),
      downPerSecond: rate("gpu_download_bytes"),
      linkBusy: stats.gpu_link_busy_seconds > 0 ? rate("gpu_link_busy_seconds") : null,
      workers: (stats.workers ?? []).map((it, index) => {
        const before = recent.stats.workers[index];
        const its = (counter) => (seconds > 0 && before ? (it[counter] - before[counter]) / seconds : null);
        return { rowsPerSecond: its("rows"), waiting: its("wait_seconds") };
      }),
      points: this.#points,
    };
  }

  // The latest reading that is not younger than `time` allows, or the oldest.
  #since(time) {
    return this.#readings.findLast((it) => it.time <= time) ?? this.#readings[0];
  }

  // Of the last seconds' expert uses, or of all where there was none.
  #hitRate(stats, lookups, hits) {
    const oldest = this.#readings[0].stats;
    const recent = stats[lookups] - oldest[lookups];
    if (recent > 0) return (stats[hits] - oldest[hits]) / recent;
    return stats[lookups] > 0 ? stats[hits] / stats[lookups] : null;
  }

  #point(time, tokens, bytes) {
    const { time: times, tokens: tokenRates, bytes: byteRates } = this.#points;
    // New columns each time, so that what holds the old ones sees that they changed.
    const first = times.findIndex((it) => it > time - HISTORY);
    const keep = (column, value) => [...(first < 0 ? [] : column.slice(first)), value];
    const anew = times.length > 0 && time < times.at(-1); // another server's clock
    this.#points = anew
      ? { time: [time], tokens: [tokens], bytes: [bytes] }
      : { time: keep(times, time), tokens: keep(tokenRates, tokens), bytes: keep(byteRates, bytes) };
  }
}
