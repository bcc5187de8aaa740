"""Fine-tuning: a pretrained network and a linear head, trained end to end on a data set's training images.

The head is fitted first, on the frozen features, and the network is unfrozen afterwards: a head that starts
at random would at first distort the features (Kumar et al.: Fine-tuning can distort pretrained features and
underperform out-of-distribution, ICLR 2022).
"""
