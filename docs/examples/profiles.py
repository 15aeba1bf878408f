"""From a LoadData table to profiles: python profiles.py load_data.csv platemap.csv OUT."""

import sys

import pandas as pd
from pycytominer import aggregate, annotate, feature_select, normalize

from hts_classify import export, extract
from hts_classify.plate import find_plates, open_plates

table, platemap, out = sys.argv[1:]
extract(open_plates(find_plates([table])), out)
export(out, kinds=["csv", "profiles"])

fields = pd.read_parquet(f"{out}/export/fields.parquet")
fields = fields[fields["Metadata_Flags"] == ""]  # neither out of focus, saturated nor empty
wells = aggregate(fields, image_features=True)
wells = annotate(wells, platemap, join_on=["Metadata_well", "Metadata_Well"])
controls = "Metadata_control_type == 'negcon'"
scaled = [
    normalize(plate, image_features=True, samples=controls, method="mad_robustize")
    for _, plate in wells.groupby("Metadata_Plate")
]
steps = ["variance_threshold", "correlation_threshold", "drop_na_columns"]
profiles = feature_select(pd.concat(scaled), image_features=True, operation=steps)
profiles.to_parquet(f"{out}/profiles.parquet", index=False)
print(f"{profiles.shape[0]} wells of {len(scaled)} plates: {out}/profiles.parquet")
