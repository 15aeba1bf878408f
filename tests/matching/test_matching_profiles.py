from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from screens import dealt, field_table, platemap, profiles_of, write_profiles

from hts_classify.matching import feature_profiles, unseen_profiles


def test_controls_set_the_scale_of_their_plate() -> None:
    one, two = platemap(controls=33), platemap(controls=32).assign(Metadata_Plate="P2")
    wells = pd.concat([one, two], ignore_index=True)
    values = profiles_of(wells)
    values[len(one) :] = 5 * values[len(one) :] + 40  # the second plate is brighter
    found = feature_profiles(field_table(wells, values), wells)
    assert found.among_controls
    assert "negative controls" in found.scale
    for plate in ("P1", "P2"):
        own = (wells["Metadata_Plate"] == plate).to_numpy()
        some = values[own & (wells["Metadata_ControlType"] == "negcon").to_numpy()]
        spread = stats.median_abs_deviation(some, scale="normal")
        expected = (values[own] - np.median(some, axis=0)) / spread
        seen = found.values[(found.wells["Metadata_Plate"] == plate).to_numpy()]
        np.testing.assert_allclose(seen, expected, rtol=1e-4)


def test_few_controls_on_one_plate_leave_the_scale_to_all_wells() -> None:
    one, two = platemap(controls=33), platemap(controls=31).assign(Metadata_Plate="P2")
    wells = pd.concat([one, two], ignore_index=True)
    found = feature_profiles(field_table(wells, profiles_of(wells)), wells)
    assert found.among_controls
    assert found.scale.endswith(
        "all wells of each plate (some have fewer than 32 negative controls)"
    )
    first = found.values[(found.wells["Metadata_Plate"] == "P1").to_numpy()]
    np.testing.assert_allclose(np.median(first, axis=0), 0, atol=1e-9)


def test_features_that_do_not_vary_or_run_away_are_left_out() -> None:
    wells = platemap()
    values = profiles_of(wells)
    values[:, 2] = 0.1  # constant
    values[:, 5] = 0.1
    values[3, 5] = 9.0  # varies in one well alone: no deviation in the middle
    values[4, 7] = 1e6  # one well would be all that a cosine sees
    found = feature_profiles(field_table(wells, values), wells)
    assert found.values.shape == (len(wells), 12 - 3)
    assert np.isfinite(found.values).all()


def test_of_a_fold_only_wells_that_its_model_was_not_shown(tmp_path: Path) -> None:
    wells = platemap()
    folds = dealt(wells)
    files = write_profiles(tmp_path, folds, profiles_of(wells))
    own = {fold: files["cnn", fold] for fold in range(folds.count)}
    found = unseen_profiles(own, folds.wells)
    assert len(found.wells) == len(wells)
    assert (found.fold == found.wells["Fold"]).all()
    # The scale is the training wells': their median is 0, that of the wells under test is not.
    tested = found.values[found.fold == 0]
    assert np.abs(np.median(tested, axis=0)).max() > 0.1
