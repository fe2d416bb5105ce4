// What an AudioWorklet's own global scope has, which TypeScript's "dom" leaves out: server/web/client/audio_worklet.js.
declare const currentFrame: number;
declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;
