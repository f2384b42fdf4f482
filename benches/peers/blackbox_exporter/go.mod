module serin.test/blackbox_exporter

go 1.25

require github.com/prometheus/blackbox_exporter v0.28.0
