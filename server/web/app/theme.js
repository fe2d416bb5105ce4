// Light, dark, or as the system has it. Remembered on this device.

const KEY = "sangha.theme";
const ORDER = ["system", "light", "dark"];
export const LABELS = { system: "As the system", light: "Light", dark: "Dark" };

export function theme() {
  const kept = localStorage.getItem(KEY);
  return ORDER.includes(kept) ? kept : "system";
}

export function setTheme(value) {
  if (value === "system") {
    localStorage.removeItem(KEY);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(KEY, value);
    document.documentElement.dataset.theme = value;
  }
}

export const applyTheme = () => setTheme(theme());
export const nextTheme = () => ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
