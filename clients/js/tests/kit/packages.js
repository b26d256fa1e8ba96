// What the tests use of others: installed by `cargo xtask test clients` into a folder that `DOG_PACKAGES` names.

import { createRequire } from "node:module";
import { join } from "node:path";

const folder = process.env.DOG_PACKAGES;
if (!folder) throw new Error("DOG_PACKAGES names no folder: run `cargo xtask test clients`");

const require = createRequire(join(folder, "package.json"));

/** A package. */
export const packageOf = (name) => require(name);
