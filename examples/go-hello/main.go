// A Go handler with AWS's own library, for provided.al2023.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Name string `json:"name"`
	Fail bool   `json:"fail"`
}

type answer struct {
	Greeting  string `json:"greeting"`
	Function  string `json:"function"`
	RequestID string `json:"requestId"`
}

func handler(ctx context.Context, e event) (answer, error) {
	if e.Fail {
		return answer{}, errors.New("asked to fail")
	}
	fmt.Println("greeting", e.Name)
	call, _ := lambdacontext.FromContext(ctx)
	return answer{"Hello, " + e.Name + "!", lambdacontext.FunctionName, call.AwsRequestID}, nil
}

func main() { lambda.Start(handler) }
