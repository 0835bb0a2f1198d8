"""Cards of data sets, downloads, and text files opened whatever their compression."""
