"""The server: uploads in, heatmaps out."""
