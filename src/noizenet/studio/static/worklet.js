// Plays the samples that it receives; reports the samples played and buffered, and the number of gaps.

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.blocks = [];
    this.position = 0;
    this.held = 0;
    this.played = 0;
    this.missing = 0;
    this.running = false;
    this.ticks = 0;
    this.port.onmessage = ({ data }) => {
      if (data.type === "sound") {
        this.blocks.push(data.columns);
        this.held += data.columns[0].length;
      } else if (data.type === "clear") {
        this.blocks = [];
        this.position = this.held = 0;
        this.running = false;
      } else if (data.type === "start") this.running = true;
      else if (data.type === "hold") this.running = false;
    };
  }

  process(_, [output]) {
    const need = output[0].length;
    let done = 0;
    while (this.running && done < need && this.blocks.length) {
      const block = this.blocks[0];
      const count = Math.min(need - done, block[0].length - this.position);
      output.forEach((channel, c) => channel.set((block[c] || block[0]).subarray(this.position, this.position + count), done));
      done += count;
      this.position += count;
      if (this.position === block[0].length) {
        this.blocks.shift();
        this.position = 0;
      }
    }
    this.held -= done;
    this.played += done;
    if (this.running && done < need) this.missing += 1;
    if (++this.ticks % 4 === 0) this.port.postMessage({ played: this.played, held: this.held, missing: this.missing });
    return true;
  }
}

registerProcessor("noizenet-player", Player);
