"""Statistics of calls, apart from where the calls come from: arrays in, numbers out.

::

    metrics       how good calls are: rates by class, agreement beyond chance
    scores        how good scores are: ranking, probabilities, calibration
    intervals     how sure a proportion is, over the groups that are independent
    difference    two paths on the same wells: tests, interval, what could be detected
    many          the correction for many tests, and groups that hold in all of them
    screening     what an assay can separate: Z′, SSMD, signal window
    dose          a class score over concentrations: four parameters, EC50

NumPy and SciPy alone. Each function names its source, and is held against independent code.
"""
