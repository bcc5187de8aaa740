"""How a backbone runs fast on a device."""
