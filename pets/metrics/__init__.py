"""How good a classifier is: metrics, their intervals, and the tables behind the charts."""
