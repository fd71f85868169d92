"""Restores: assessed, run into an empty target, compared with the manifest, handed back."""
