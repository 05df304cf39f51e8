/// <reference lib="deno.worker" />
import { beat, type MetronomeOrder } from "./metronome.ts";

self.onmessage = ({ data }: MessageEvent<MetronomeOrder>) => beat(data, () => self.postMessage(null));
