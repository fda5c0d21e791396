"""Features: declared once, computed as of what was known, for training and for scoring alike.

declared    what a feature is: a window over events, or a formula
facts       the gold tables features are made from, all versions
knowledge   what stood at an instant
events      the kinds of events that windows look at
plan        cases joined with events, in one engine plan
view        cases of one grain with the features any question about them may use
people      the view of people
home        the view of people at home, by what their devices tell
common      blocks of features that views share
"""

from ml.features.declared import Derived, FeatureSet, Windowed
from ml.features.facts import Facts
from ml.features.plan import build
from ml.features.view import View

__all__ = ["Derived", "Facts", "FeatureSet", "View", "Windowed", "build"]
