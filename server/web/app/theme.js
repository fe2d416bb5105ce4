// Light, dark, or as the system has it. Remembered on this device.

import { device } from "./storage.js";

const KEY = "sangha.theme";
const ORDER = ["system", "light", "dark"];
/** @type {Record<string, string>} */
export const LABELS = { system: "As the system", light: "Light", dark: "Dark" };

export function theme() {
  const kept = device.get(KEY) ?? document.documentElement.dataset.theme ?? "system";
  return ORDER.includes(kept) ? kept : "system";
}

/** @param {string} value */
export function setTheme(value) {
  if (value === "system") {
    device.remove(KEY);
    delete document.documentElement.dataset.theme;
  } else {
    device.set(KEY, value);
    document.documentElement.dataset.theme = value;
  }
}

export const applyTheme = () => setTheme(theme());
export const nextTheme = () => ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
