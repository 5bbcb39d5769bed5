"""The papers' own figures, by what the page's rows are called."""

# Unified Normalization, table 1, with its PN without layer-scale.
IWSLT = {"LN": "35.3", "RMS": "35.3", "none": "FAIL", "BN": "31.1", "MABN": "35.4", "PN": "35.0", "UN": "35.4"}
WMT = {"LN": "40.0", "RMS": "39.8", "none": "32.8", "BN": "35.1", "MABN": "36.5", "PN": "39.7", "UN": "39.9"}
# PowerNorm, section 5.2 and table 2.
POWER_IWSLT = {"LN": "35.5", "BN": "34.4", "PN": "35.9"}
POWER_PTB = {"LN": "53.2", "BN": "60.7", "PN-V": "55.3", "PN": "47.6"}
# Unified Normalization again: table 2, then 6, 10, 9 and 5, and 7.
SWIN = {"LN": "81.3", "BN": "80.8", "MABN": "80.9", "PN": "80.9", "UN": "81.0"}
T2T = {"LN": "81.5", "BN": "79.8", "MABN": "FAIL", "PN": "FAIL", "UN": "80.9"}
COCO_BOX = {"M = 2": "42.8", "UN": "42.8", "M = 6": "42.8", "M = 8": "42.8", "M = 10": "42.5"}
ALPHA_BOX = {"α = 0.6": "42.8", "α = 0.7": "42.7", "α = 0.8": "42.6", "UN": "42.8"}
ALPHA_BLEU = {"α = 0.6": "FAIL", "α = 0.7": "35.3", "α = 0.8": "35.4", "UN": "35.4"}
PARTS_BLEU = {"UN": "35.4", "GM off": "34.5", "AM off": "35.3", "momentum off": "18.3", "AM and momentum off": "FAIL"}
PARTS_BOX = {"UN": "42.8", "GM off": "42.2", "AM off": "42.4", "momentum off": "42.4", "AM and momentum off": "42.5"}
FILTRATION = {"with": ("80.9", "81.0", "42.2", "42.8"), "without": ("FAIL", "80.7", "FAIL", "FAIL")}
