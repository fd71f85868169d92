"""The dashboards as code: what they ask is in a file each, how it is drawn is in `drawing`."""
