module tricolorbench

go 1.25
