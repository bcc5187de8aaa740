"""What a network responds to: activation maximization, feature maps, Grad-CAM."""
