/** The libraries whose binary layout is known. Any other library is refused, not guessed at. */
import type { Layout } from "./layout.ts";
import { ENTERPRISE_10 } from "./layouts/enterprise_10.ts";
import { ENTERPRISE_11, ENTERPRISE_11_4 } from "./layouts/enterprise_11.ts";
import { RTX_1 } from "./layouts/rtx_1.ts";

export const LAYOUTS: readonly Layout[] = [...RTX_1, ...ENTERPRISE_10, ...ENTERPRISE_11, ENTERPRISE_11_4];
