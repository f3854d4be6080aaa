/** Times an epoch: what went into steps, and what into waiting for pictures. */
export class EpochMeter {
  readonly #began: number;
  /** Seconds of this epoch in an earlier process, before the run was stopped. */
  readonly #earlier: number;
  readonly #cpu = process.cpuUsage();
  #waiting = performance.now();
  #stepping = 0;
  #waited = 0;
  #inSteps = 0;
  #steps = 0;

  constructor(earlierSeconds = 0) {
    this.#began = performance.now();
    this.#earlier = earlierSeconds;
  }

  /** A batch is there. */
  stepBegins(): void {
    this.#stepping = performance.now();
    this.#waited += this.#stepping - this.#waiting;
  }

  stepEnds(): void {
    this.#inSteps += performance.now() - this.#stepping;
    this.#steps++;
  }

  /** From here on the next batch is waited for. */
  waitBegins(): void {
    this.#waiting = performance.now();
  }

  /** Of the whole epoch, in this process and before. */
  get seconds(): number {
    return this.#earlier + (performance.now() - this.#began) / 1000;
  }

  /** Steps of this process and the waiting between them. */
  imagesPerSecond(batch: number): number {
    return (this.#steps * batch * 1000) / (this.#inSteps + this.#waited);
  }

  get stepShare(): number {
    return this.#inSteps / (this.#inSteps + this.#waited);
  }

  /** Share of one core's time, percent. */
  get cpuPercent(): number {
    const { user, system } = process.cpuUsage(this.#cpu);
    return Math.round((user + system) / 10 / (performance.now() - this.#began));
  }
}
