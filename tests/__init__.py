"""Tests of textgan and image_bridge."""
