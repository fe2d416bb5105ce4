// Prints what server/web/audio/words.js says of what stands on standard input: an array of [function, ...arguments].

import { readFileSync } from "node:fs";
import * as words from "../../server/web/audio/words.js";

const asked = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(asked.map(([name, ...given]) => words[name](...given))));
