module serin.test/vegeta

go 1.25

require github.com/tsenart/vegeta/v12 v12.12.0
