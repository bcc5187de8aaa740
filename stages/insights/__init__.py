"""What happens inside a network: feature maps, the patches that excite a channel, the region that decided."""
