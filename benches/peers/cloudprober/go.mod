module serin.test/cloudprober

go 1.25

require github.com/cloudprober/cloudprober v0.14.0
